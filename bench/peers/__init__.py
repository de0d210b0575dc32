"""The same work on other foundations, each written as one would in an afternoon.

A peer with a queue is a module that runs as its worker (`python -m bench.peers.NAME LOAD [OPTION]`, prints "ready") and
offers `enqueue(load)` and `is_finished(load)` to the harness. All of them put one batch into one job, call the portal
with their usual client and `response.json()`, compare the IDs, and return the deleted ones as the job's result, which
is kept where their queue keeps results. They log nothing, which favours them: their default is a line or two per job.
"""
