"""The information for operators: log lines and metrics.

    log.py          a function for each log line
    log_writer.py   a bounded queue and a thread that writes the lines
    metrics.py      counts in the process, until they are exported

May import: policy.
"""
