"""A bucket with the demo model on a web server of ours, where moto's S3 cannot misbehave as a test wants."""

from support.fetching import hello_files
from support.file_server import FileServer


def put_bucket(server: FileServer, path: str) -> None:
    """The demo model below `hello/` of a bucket at `path`, listed as S3 and Google's server do it."""
    entries = ""
    for name, content in hello_files().items():
        server.put(f"{path}/hello/{name}", content, ETag='"one"', Last_Modified="Sat, 21 Nov 2026 10:00:00 GMT")
        entries += (
            f"<Contents><Key>hello/{name}</Key><Size>{len(content)}</Size><ETag>&quot;one&quot;</ETag>"
            "<LastModified>2026-11-21T10:00:00.000Z</LastModified></Contents>"
        )
    page = f"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <Name>models</Name><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"""
    server.put(path, page.encode(), Content_Type="application/xml")
