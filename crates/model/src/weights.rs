//! tensor table, values → one weight after the other, for a module that is being built

use burn::{
    module::{Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use itera_shape::{NamedTensor, TensorSpec};

use crate::error::ModelError;

/// The weights of a tensor table in its order.
///
/// Modules ask for them by the names of their fields: two weights of one shape that change places are noticed.
pub(crate) struct Weights<'a> {
    tensors: std::vec::IntoIter<NamedTensor>,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    /// The values that `values` gives for each tensor of `table`, asked in order with its index.
    ///
    /// # Errors
    /// [`ModelError::ShapeMismatch`] for the first tensor that gets more or fewer values than its shape has.
    pub(crate) fn new(
        table: Vec<TensorSpec>,
        device: &'a Device,
        mut values: impl FnMut(usize, &TensorSpec) -> Vec<f32>,
    ) -> Result<Self, ModelError> {
        let mut tensors = Vec::with_capacity(table.len());
        for (index, spec) in table.into_iter().enumerate() {
            let data = values(index, &spec);
            let (expected, found) = (spec.n_params(), data.len());
            let TensorSpec { name, shape, .. } = spec;
            if found != expected {
                return Err(ModelError::ShapeMismatch { name, shape, expected, found });
            }
            tensors.push(NamedTensor { name, shape, data });
        }
        Ok(Self { tensors: tensors.into_iter(), device })
    }

    /// The next weight of the table, which is that of `field`.
    ///
    /// # Panics
    /// If modules and table do not list the same weights in the same order.
    pub(crate) fn next<const D: usize>(&mut self, field: &str) -> Param<Tensor<D>> {
        let NamedTensor { name, shape, data } =
            self.tensors.next().unwrap_or_else(|| panic!("the table ends before `{field}`"));
        assert!(is_field(&name, field), "a module asks for `{field}` where the table has `{name}`");
        let tensor = Tensor::from_data(TensorData::new(data, shape), self.device);
        Param::initialized(ParamId::new(), tensor.set_require_grad(self.device.is_autodiff()))
    }

    /// # Panics
    /// If the modules have not asked for every weight of the table.
    pub(crate) fn finish(mut self) {
        if let Some(left) = self.tensors.next() {
            panic!("no module asked for `{}`", left.name);
        }
    }
}

/// Whether the tensor `name` is that of the field `field` of some module.
pub(crate) fn is_field(name: &str, field: &str) -> bool {
    name.rsplit('.').next() == Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use itera_shape::ModelConfig;

    #[test]
    #[should_panic(expected = "a module asks for `v_proj` where the table has `layers.0.attention.k_proj`")]
    fn a_weight_of_the_same_shape_is_not_taken_for_another() {
        let config = ModelConfig { n_layers: 1, attention_layers: vec![0], ..ModelConfig::default() };
        let device = Device::flex();
        let mut weights =
            Weights::new(config.tensors(), &device, |_, spec| vec![0.0; spec.n_params()]).expect("they fit");
        for field in ["embed", "mixer_norm", "q_proj"] {
            if field == "mixer_norm" {
                weights.next::<1>(field);
            } else {
                weights.next::<2>(field);
            }
        }
        weights.next::<2>("v_proj");
    }

    #[test]
    #[should_panic(expected = "no module asked for `embed`")]
    fn a_weight_that_no_module_asks_for_is_noticed() {
        let config = ModelConfig::default();
        let device = Device::flex();
        Weights::new(config.tensors(), &device, |_, spec| vec![0.0; spec.n_params()]).expect("they fit").finish();
    }
}
