"""The contract between clients, operator and model server: protobuf files and their generated stubs."""
