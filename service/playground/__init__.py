"""The playground and the API's documentation, as pages for a browser."""
