"""What users write, typed. No behaviour beyond validation; `crd.py` prints the CRDs."""
