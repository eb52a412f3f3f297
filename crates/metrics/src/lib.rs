//! Training records and their files: JSONL, CSV, TensorBoard, report
