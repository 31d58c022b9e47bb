"""What the service costs and gains, measured against something: `make bench`, or `python -m benchmarks NAME ...`.

Every benchmark measures its contenders in turn in one run, A B A B ..., and tells medians and ratios: a number of its
own says more about the machine and its hour than about the code. docs/performance.md explains the results.
"""
