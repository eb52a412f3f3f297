//! A directory with some tensors, and what is made of it.

use std::fs;
use std::path::PathBuf;

use itera_formats::{Dtype, SafetensorsReader, write_safetensors};
use itera_kernels::quant::{Kind, dequantize};
use itera_ptq::{Fp8Scales, Layout, Method, Plan, Result, Selection, quantize};
use itera_shape::TensorRef;
use itera_testkit::uniform;

pub const FP8: Method = Method::Fp8(Fp8Scales::Channel);

/// A directory with some tensors, and room beside it.
pub struct Model {
    pub dir: tempfile::TempDir,
}

impl Model {
    /// One file of these tensors in f32.
    pub fn new(tensors: &[(&str, &[usize])]) -> Self {
        let model = Self { dir: tempfile::tempdir().expect("a directory") };
        fs::create_dir(model.source()).expect("created");
        model.write("config.json", br#"{"architectures":["Some"],"hidden":4}"#);
        model.save("model.safetensors", tensors);
        model
    }

    pub fn save(&self, file: &str, tensors: &[(&str, &[usize])]) {
        let numbers: Vec<Vec<f32>> =
            (1..).zip(tensors).map(|(seed, (_, shape))| uniform(shape.iter().product(), -1.0, 1.0, seed)).collect();
        let refs: Vec<TensorRef<'_>> =
            tensors.iter().zip(&numbers).map(|((name, shape), data)| TensorRef { name, shape, data }).collect();
        write_safetensors(&self.source().join(file), &refs, Kind::F32).expect("written");
    }

    pub fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.source().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, bytes).expect("written");
    }

    pub fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub fn plan(&self, method: Method) -> Result<Plan> {
        Plan::new(&self.source(), method, Layout::default(), &Selection::default())
    }

    pub fn quantize_as(&self, method: Method, layout: Layout) {
        let mut plan = Plan::new(&self.source(), method, layout, &Selection::default()).expect("planned");
        quantize(&mut plan, &self.out(), &mut |_| true).expect("written");
    }

    pub fn quantize(&self, method: Method) -> Result<()> {
        quantize(&mut self.plan(method)?, &self.out(), &mut |_| true)
    }

    /// The tensor `name` of what was written, as f32.
    pub fn written(&self, name: &str) -> (Dtype, Vec<usize>, Vec<f32>) {
        let mut reader = SafetensorsReader::open(&self.out().join("model.safetensors")).expect("opened");
        let place = reader.tensors().iter().find(|tensor| tensor.name == name).expect("there").clone();
        let mut bytes = vec![0; (place.range.end - place.range.start) as usize];
        reader.read(place.range.start, &mut bytes).expect("read");
        let mut numbers = vec![0.0; place.shape.iter().product()];
        let kind = match place.dtype {
            Dtype::F32 => Kind::F32,
            Dtype::F8_E4M3 => Kind::F8E4M3,
            other => panic!("{other}"),
        };
        dequantize(kind, &bytes, &mut numbers);
        (place.dtype, place.shape, numbers)
    }

    /// Whether nothing is beside the source.
    pub fn is_alone(&self) -> bool {
        fs::read_dir(self.dir.path()).expect("listed").count() == 1
    }
}
