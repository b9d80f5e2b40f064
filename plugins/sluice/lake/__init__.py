"""Tables, staged batches and the landing zone; the only importer of pyiceberg and boto3."""
