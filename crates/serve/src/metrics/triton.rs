//! The statistics of models by the names that Triton's metrics have, for dashboards made for it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge, gauge::Gauge},
};

use crate::statistics::{Snapshot, Statistics};

/// What Triton says of a model: name, help, value.
type Metric = (&'static str, &'static str, fn(&Snapshot) -> u64);

const METRICS: [Metric; 9] = [
    ("nv_inference_request_success", "Texts that came to an end of their own", |told| told.success.count),
    ("nv_inference_request_failure", "Texts whose clients left, or that were lost", |told| told.cancel.count),
    ("nv_inference_count", "Texts that came to an end of their own", |told| told.success.count),
    ("nv_inference_exec_count", "Steps of the engine", |told| told.steps),
    ("nv_inference_request_duration_us", "From arrival to end, of all these texts", |told| told.success.ns / 1000),
    ("nv_inference_queue_duration_us", "From arrival to beginning", |told| told.queue.ns / 1000),
    ("nv_inference_compute_input_duration_us", "The reading of prompts", |told| told.read.ns / 1000),
    ("nv_inference_compute_infer_duration_us", "From first tokens to ends", |told| told.write.ns / 1000),
    ("nv_inference_compute_output_duration_us", "Text is made as it is written: 0", |_| 0),
];

/// Models that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Triton(Arc<Mutex<Vec<Model>>>);

#[derive(Debug)]
struct Model {
    labels: Labels,
    /// Gone with its engine.
    statistics: Weak<Statistics>,
    waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    model: String,
    version: u64,
}

impl Triton {
    /// Tell of a model, in the place of one that was called so.
    pub fn tell_of(&self, name: &str, version: u64, statistics: &Arc<Statistics>, waiting: &Gauge) {
        let labels = Labels { model: name.into(), version };
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.retain(|model| model.labels != labels && model.statistics.strong_count() > 0);
        models.push(Model { labels, statistics: Arc::downgrade(statistics), waiting: waiting.clone() });
    }
}

impl Collector for Triton {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> =
            models.iter().filter_map(|model| Some((model, model.statistics.upgrade()?.snapshot()))).collect();
        // counters of OpenMetrics have a suffix that these names have not
        for (name, help, value) in METRICS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
            for (model, snapshot) in &told {
                let value = ConstGauge::new(value(snapshot));
                value.encode(metric.encode_family(&model.labels)?)?;
            }
        }
        let (name, help) = ("nv_inference_pending_request_count", "Texts that wait");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (model, _) in &told {
            ConstGauge::new(model.waiting.get()).encode(metric.encode_family(&model.labels)?)?;
        }
        Ok(())
    }
}
