#!/bin/bash
cd /tmp/iso/dev; export PYTHONPATH=/tmp/iso/dev/plugins:/tmp/iso/dev; exec /work/slot /work/wt/isolation/.venv/bin/python "$@"
