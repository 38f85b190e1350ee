"""Runs statements, a JSON list on stdin, in Spark; prints their rows as JSON."""

import json
import sys

from pyspark.sql import SparkSession

session = SparkSession.builder.master("local[2]")
for key, value in {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}.items():
    session = session.config(key, value)
session = session.getOrCreate()
answers = [
    [list(row) for row in session.sql(statement).collect()] for statement in json.load(sys.stdin)
]
json.dump(answers, sys.stdout, default=str)
