"""Object stores behind URLs, such as ``s3://bucket/films``: what is read there, and results that go there."""
