"""The schemas: candidate lists, impressions, soft labels; tables read with exact errors."""
