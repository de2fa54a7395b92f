"""Which functions of ONNX Runtime's C API the binding uses: their places in `struct OrtApi` and their arguments.

Places never move within an API version: the structure only grows at its end. Still the table is only trusted for the
releases in `CHECKED_RELEASES`, whose functions the tests have called and seen the effect of. No loading, no objects.
"""

from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

API_VERSION = 29
CHECKED_RELEASES = ("1.31.",)

_OUT = POINTER(c_void_p)
_OUT_INT = POINTER(c_int)
_OUT_SIZE = POINTER(c_size_t)
_NAMES = POINTER(c_char_p)
_DIMENSIONS = POINTER(c_int64)

# name: (place, arguments). The result is an OrtStatus*, NULL for success.
CHECKED_CALLS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "CreateEnv": (3, (c_int, c_char_p, _OUT)),
    "DisableTelemetryEvents": (6, (c_void_p,)),
    "CreateSession": (7, (c_void_p, c_char_p, c_void_p, _OUT)),
    "CreateSessionFromArray": (8, (c_void_p, c_void_p, c_size_t, c_void_p, _OUT)),
    "Run": (9, (c_void_p, c_void_p, _NAMES, _OUT, c_size_t, _NAMES, c_size_t, _OUT)),
    "CreateSessionOptions": (10, (_OUT,)),
    "SetOptimizedModelFilePath": (11, (c_void_p, c_char_p)),
    "EnableMemPattern": (16, (c_void_p,)),
    "DisableMemPattern": (17, (c_void_p,)),
    "EnableCpuMemArena": (18, (c_void_p,)),
    "DisableCpuMemArena": (19, (c_void_p,)),
    "SetSessionLogSeverityLevel": (22, (c_void_p, c_int)),
    "SetSessionGraphOptimizationLevel": (23, (c_void_p, c_int)),
    "SetIntraOpNumThreads": (24, (c_void_p, c_int)),
    "SetInterOpNumThreads": (25, (c_void_p, c_int)),
    "SessionGetInputCount": (30, (c_void_p, _OUT_SIZE)),
    "SessionGetOutputCount": (31, (c_void_p, _OUT_SIZE)),
    "SessionGetInputTypeInfo": (33, (c_void_p, c_size_t, _OUT)),
    "SessionGetOutputTypeInfo": (34, (c_void_p, c_size_t, _OUT)),
    "SessionGetInputName": (36, (c_void_p, c_size_t, c_void_p, _OUT)),
    "SessionGetOutputName": (37, (c_void_p, c_size_t, c_void_p, _OUT)),
    "CreateRunOptions": (39, (_OUT,)),
    "RunOptionsSetTerminate": (46, (c_void_p,)),
    "RunOptionsUnsetTerminate": (47, (c_void_p,)),
    "CreateTensorWithDataAsOrtValue": (
        49,
        (c_void_p, c_void_p, c_size_t, _DIMENSIONS, c_size_t, c_int, _OUT),
    ),
    "CastTypeInfoToTensorInfo": (55, (c_void_p, _OUT)),
    "GetTensorElementType": (60, (c_void_p, _OUT_INT)),
    "GetDimensionsCount": (61, (c_void_p, _OUT_SIZE)),
    "GetDimensions": (62, (c_void_p, _DIMENSIONS, c_size_t)),
    "GetSymbolicDimensions": (63, (c_void_p, _NAMES, c_size_t)),
    "CreateMemoryInfo": (68, (c_char_p, c_int, c_int, c_int, _OUT)),
    "AllocatorFree": (76, (c_void_p, c_void_p)),
    "GetAllocatorWithDefaultOptions": (78, (_OUT,)),
    "AddSessionConfigEntry": (130, (c_void_p, c_char_p, c_char_p)),
    "AddRunConfigEntry": (165, (c_void_p, c_char_p, c_char_p)),
    "CreateLoraAdapter": (280, (c_char_p, c_void_p, _OUT)),
    "RunOptionsAddActiveLoraAdapter": (283, (c_void_p, c_void_p)),
    "RunOptionsEnableProfiling": (415, (c_void_p, c_char_p)),
    "RunOptionsDisableProfiling": (416, (c_void_p,)),
}

# The same with the result in between.
PLAIN_CALLS: dict[str, tuple[int, Any, tuple[Any, ...]]] = {
    "GetErrorCode": (1, c_int, (c_void_p,)),
    "GetErrorMessage": (2, c_char_p, (c_void_p,)),
    "GetBuildInfoString": (254, c_char_p, ()),
    "ReleaseEnv": (92, None, (c_void_p,)),
    "ReleaseStatus": (93, None, (c_void_p,)),
    "ReleaseMemoryInfo": (94, None, (c_void_p,)),
    "ReleaseSession": (95, None, (c_void_p,)),
    "ReleaseValue": (96, None, (c_void_p,)),
    "ReleaseRunOptions": (97, None, (c_void_p,)),
    "ReleaseTypeInfo": (98, None, (c_void_p,)),
    "ReleaseSessionOptions": (100, None, (c_void_p,)),
    "ReleaseLoraAdapter": (282, None, (c_void_p,)),
}
