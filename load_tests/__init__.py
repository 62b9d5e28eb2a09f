"""Load tests and benchmarks: the service under traffic, measured from outside.

`traffic` makes the requests, `client` sends them, `report` summarises. The commands are `open_loop`, `locustfile`,
`bench`, `bench_gpu`, `store_bench`, `peers.run` and `fire`. Dated results are in `results/`.
"""
