"""HTTP: OpenAI's API, the Open Inference Protocol's REST and plain chat routes; translation only, as in `dialects`."""
