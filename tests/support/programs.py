"""`python -m support.programs`: makes what tests run and what takes minutes to make, before any test's time begins.

Does nothing where it is in the cache already. Whoever runs single tests gets it on its first use.
"""

from localkube import binaries
from support import foreign_clients

if __name__ == "__main__":
    binaries.build((binaries.LOCALKUBE, binaries.HELM, binaries.REGISTRY))
    foreign_clients.make_all()
