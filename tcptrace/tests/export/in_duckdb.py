"""Runs statements, a JSON list on stdin, in DuckDB; prints their rows as JSON."""

import json
import sys

import duckdb

connection = duckdb.connect()
answers = [connection.execute(statement).fetchall() for statement in json.load(sys.stdin)]
json.dump(answers, sys.stdout, default=str)
