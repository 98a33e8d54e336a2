"""Heavy work in a separate process, whose memory returns to the system and whose end affects nothing else.

``python -m padim.worker`` reads one request, a line of JSON, from its standard input, and writes lines of
JSON to its standard output: progress reports, and at the end the outcome or the error. A further input line
``cancel`` requests a stop; the end of the input means that the parent process has ended, and ends the worker
at once.

    messages   requests, outcomes and errors, and their conversion to and from JSON
    images     the images of a request, and how to open them
    verbs      the work for each kind of request
    process    the parent's side: starting the process and exchanging messages with it
"""
