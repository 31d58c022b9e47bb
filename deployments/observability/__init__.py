"""The information for operators: log lines and metrics.

May import: policy.

    log.py          a function for each log line
    logger.py       how a line is written
    log_writer.py   a bounded list of lines that wait, and a thread that writes them
    metric_table.py every metric, with its labels and its meaning
    metrics.py      the counts of a process, until they are exported
    spans.py        sends finished spans to an OTLP endpoint
    gen_ai.py       the attributes of spans
    chores.py       short work in the background, whose errors are logged
    fallback_log.py the last fallbacks, to be asked for
"""
