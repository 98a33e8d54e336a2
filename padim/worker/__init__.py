"""Heavy work in a process of its own: its memory returns to the system, and a kill ends nothing else.

``python -m padim.worker`` reads one request, a line of JSON, from its standard input, and answers with lines
of JSON on its standard output: how far it is, and at the end what came of it or the error. A further line
``cancel`` asks it to stop; the end of its input means that whoever asked is gone, and ends it at once.

    messages   requests, outcomes and errors, to JSON and back
    images   where the images of a request are, and opening them
    verbs      what can be asked for
    process    starting the process and talking to it
"""
