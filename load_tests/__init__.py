"""Load and benchmarks: what the service does under traffic, measured from outside.

`traffic` makes the requests, `client` sends them, `report` counts; `open_loop`, `locustfile`, `bench` and
`peers/run` are the commands. Results are kept in `results/`.
"""
