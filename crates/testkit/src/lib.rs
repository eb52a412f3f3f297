//! Test support: tolerances, tiny models, goldens
