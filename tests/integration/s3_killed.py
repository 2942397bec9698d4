"""Run as `s3_killed.py MOMENT COUNTS ARGV...`: `mlcore ARGV` that dies by SIGKILL at a request to S3.

The request is number |MOMENT|: before it is sent when MOMENT is negative, else when the server has done it. With 0 it
lives, and writes the number of requests to the file COUNTS.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

import s3fs

import mlcore.cli

moment, counts, sys.argv = int(sys.argv[1]), sys.argv[2], ["mlcore", *sys.argv[3:]]
numbers, real = itertools.count(1), s3fs.S3FileSystem._call_s3


async def call(self, *args, **kwargs):
    mine = next(numbers)
    if mine == -moment:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        return await real(self, *args, **kwargs)
    finally:
        if mine == moment:
            os.kill(os.getpid(), signal.SIGKILL)


s3fs.S3FileSystem._call_s3 = call
try:
    mlcore.cli.main()
finally:
    if not moment:
        Path(counts).write_text(str(next(numbers) - 1))
