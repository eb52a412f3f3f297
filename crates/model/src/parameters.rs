//! weights in and out by name: tensors ↔ `Param`s, gradients → slices
//!
//! The order is that of [`ModelConfig::tensors`], which is also the order in which modules declare their fields.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Device, Gradients, Tensor, TensorData},
};
use itera_shape::{ModelConfig, NamedTensor};

use crate::{error::ModelError, language_model::LanguageModel};

/// Hands out weights in model order while a model is built.
pub(crate) struct Source<'a> {
    tensors: std::vec::IntoIter<NamedTensor>,
    device: &'a Device,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        config: &ModelConfig,
        device: &'a Device,
        values: &mut dyn FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<Self, ModelError> {
        let mut tensors = Vec::new();
        for spec in config.tensors() {
            let (name, shape) = (spec.name, spec.shape);
            let values = values(&name, &shape);
            let expected = shape.iter().product();
            if values.len() != expected {
                return Err(ModelError::ShapeMismatch { name, shape, expected, found: values.len() });
            }
            tensors.push(NamedTensor { name, shape, data: values });
        }
        Ok(Self { tensors: tensors.into_iter(), device })
    }

    /// The next weight of the configuration.
    pub(crate) fn next<const D: usize>(&mut self) -> Param<Tensor<D>> {
        let NamedTensor { shape, data, .. } = self.tensors.next().expect("modules and the tensor table list the same");
        Param::initialized(ParamId::new(), leaf(data, shape, self.device))
    }
}

impl LanguageModel {
    /// A copy of every weight.
    pub fn parameters(&self) -> Vec<NamedTensor> {
        let mut copy = Copy { path: Path::default(), out: Vec::new() };
        self.visit(&mut copy);
        copy.out
    }

    /// The gradient of every weight, in the order of [`Self::parameters`]; zeros where the loss does not reach.
    pub fn gradients(&self, mut gradients: Gradients) -> Vec<Vec<f32>> {
        let mut take = TakeGradients { gradients: &mut gradients, out: Vec::new() };
        self.visit(&mut take);
        take.out
    }

    /// Change the weights in place: `update` gets the values of each, in the order of [`Self::parameters`].
    ///
    /// Nothing is copied unless a clone of the model is alive.
    pub fn update(&mut self, update: impl FnOnce(&mut [Vec<f32>])) {
        let (config, device) = (self.config().clone(), self.device());
        let mut take = TakeValues { out: Vec::new() };
        std::mem::replace(self, Self::hollow(&config, &device)).map(&mut take);
        let mut values = take.out;
        update(&mut values);
        *self = Self::from_values(&config, &device, values).expect("as many as there were, and as long");
    }
}

/// Where a visitor stands, as a name of the tensor table.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    /// `layers.0.mixer.Mamba.in_proj` → `layers.0.mamba.in_proj`
    fn name(&self) -> String {
        self.0.iter().filter(|part| *part != "mixer").map(|part| part.to_lowercase()).collect::<Vec<_>>().join(".")
    }
}

/// A tensor that gradients reach, if the device records them.
fn leaf<const D: usize>(values: Vec<f32>, shape: Vec<usize>, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device).set_require_grad(device.is_autodiff())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("weights and gradients are f32")
}

struct Copy {
    path: Path,
    out: Vec<NamedTensor>,
}

impl ModuleVisitor for Copy {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        self.out.push(NamedTensor { name: self.path.name(), shape: tensor.dims().to_vec(), data: values(tensor) });
    }
}

struct TakeGradients<'a> {
    gradients: &'a mut Gradients,
    out: Vec<Vec<f32>>,
}

impl ModuleVisitor for TakeGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.out.push(match tensor.grad_remove(self.gradients) {
            Some(gradient) => values(gradient),
            None => vec![0.0; tensor.dims().iter().product()],
        });
    }
}

struct TakeValues {
    out: Vec<Vec<f32>>,
}

impl ModuleMapper for TakeValues {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let nothing = Tensor::zeros([1; D], &tensor.device());
        self.out.push(values(tensor.inner()));
        Param::from_mapped_value(id, nothing, mapper)
    }
}
