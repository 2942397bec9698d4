"""What the workers of the slot `dist.py` call; a module of its own, because the ruler itself is called `dist`."""


def call(payload):
    """Call a function with its arguments."""
    function, arguments = payload
    return function(*arguments)
