"""One tritonclient that infers again and again, in the form of kept_connections.py. Not one of our imports."""

import json
import sys
import threading

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def main() -> None:
    """Until the input ends; each line of input is answered by one line of counts."""
    client = triton.InferenceServerClient(sys.argv[1])
    text = triton.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"The capital of France is"], dtype=np.object_))
    over, calls, failed = threading.Event(), [0], []

    def show() -> None:
        print(json.dumps({"calls": calls, "failed": failed}), flush=True)

    def ask() -> None:
        while not over.is_set():
            try:
                client.infer("hello", [text], parameters={"max_tokens": 8})
            except InferenceServerException as error:
                failed.append(f"tritonclient: {error}")
            calls[0] += 1

    asking = threading.Thread(target=ask)
    asking.start()
    while sys.stdin.readline():
        show()
    over.set()
    asking.join()
    client.close()
    show()


if __name__ == "__main__":
    main()
