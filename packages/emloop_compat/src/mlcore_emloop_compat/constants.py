"""Constants of emloop, with their original names and values."""

EL_CONFIG_FILE = "config.yaml"
EL_LOG_FILE = "train.log"
EL_TRACE_FILE = "trace.yaml"
EL_HOOKS_MODULE = "emloop.hooks"
EL_NA_STR = "N/A"
EL_DEFAULT_LOG_DIR = "./log"
EL_DEFAULT_TRAIN_STREAM = "train"
EL_PREDICT_STREAM = "predict"
EL_BUFFER_SLEEP = 0.02
EL_LOG_FORMAT = "%(asctime)s.%(msecs)03d: %(levelname)-8s@%(module)-12s: %(message)s"
EL_LOG_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
EL_FULL_DATE_FORMAT = EL_LOG_DATE_FORMAT + ".%f"

__all__ = [name for name in dir() if name.startswith("EL_")]
