//! a module ↔ its weights and their gradients, as lists in the order in which the module declares them
//!
//! For every Burn module. Tensors are flat (their shapes are the module's) and without autodiff. Where names count, the
//! module comes with its tensor table, which has the same order.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};
use itera_shape::{NamedTensor, TensorSpec};

use crate::weights::is_field;

/// A handle of every weight; nothing is copied.
pub fn weights<M: Module>(module: &M) -> Vec<Tensor<1>> {
    flat(&module.valid())
}

/// [`weights`] in the graph of autodiff.
pub(crate) fn flat<M: Module>(module: &M) -> Vec<Tensor<1>> {
    struct Flat(Vec<Tensor<1>>);
    impl ModuleVisitor for Flat {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().flatten(0, D - 1));
        }
    }
    let mut all = Flat(vec![]);
    module.visit(&mut all);
    all.0
}

/// The gradient of every weight; zeros where the loss does not reach.
pub fn gradients<M: Module>(module: &M, mut gradients: Gradients) -> Vec<Tensor<1>> {
    struct Take<'a>(&'a mut Gradients, Vec<Tensor<1>>);
    impl ModuleVisitor for Take<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val();
            let gradient = weight.grad_remove(self.0).unwrap_or_else(|| weight.inner().zeros_like());
            self.1.push(gradient.flatten(0, D - 1));
        }
    }
    let mut take = Take(&mut gradients, vec![]);
    module.visit(&mut take);
    take.1
}

/// `module` with other weights. One without autodiff becomes a leaf of the graph where the one before it had autodiff.
///
/// # Panics
/// If they differ from those of the module in number or length.
pub fn with_weights<M: Module>(module: M, weights: Vec<Tensor<1>>) -> M {
    let shapes = shapes(&module);
    put(module, weights, shapes)
}

/// Change the weights in place. `change` gets and gives them in the order of [`weights`]; nobody else holds those that it
/// gets, unless a clone of the module is alive.
///
/// # Panics
/// If `change` gives other numbers or lengths of weights.
pub fn update_weights<M: Module>(module: &mut M, change: impl FnOnce(Vec<Tensor<1>>) -> Vec<Tensor<1>>) {
    /// Puts something small in the place of each weight.
    struct LetGo;
    impl ModuleMapper for LetGo {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weight| Tensor::zeros([1; D], &weight.device()))
        }
    }
    let (taken, shapes) = (weights(module), shapes(module));
    *module = module.clone().map(&mut LetGo);
    *module = put(module.clone(), change(taken), shapes);
}

/// A copy of every weight, under the names of `table`.
///
/// # Panics
/// If the table lists other tensors than the module has.
pub fn named<M: Module>(module: &M, table: &[TensorSpec]) -> Vec<NamedTensor> {
    let mut copy = CopyWeights { table: table.iter(), path: vec![], copies: Vec::with_capacity(table.len()) };
    module.visit(&mut copy);
    assert_eq!(copy.copies.len(), table.len(), "weights of the module and of its table");
    copy.copies
}

fn shapes<M: Module>(module: &M) -> Vec<Vec<usize>> {
    struct Shapes(Vec<Vec<usize>>);
    impl ModuleVisitor for Shapes {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().dims().to_vec());
        }
    }
    let mut all = Shapes(vec![]);
    module.visit(&mut all);
    all.0
}

fn put<M: Module>(module: M, weights: Vec<Tensor<1>>, shapes: Vec<Vec<usize>>) -> M {
    struct Put<I>(I);
    impl<I: Iterator<Item = (Tensor<1>, Vec<usize>)>> ModuleMapper for Put<I> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (weight, shape) = self.0.next().expect("as many weights as the module has");
            let weight = weight.reshape::<D, _>(<[usize; D]>::try_from(shape).expect("a shape of this rank"));
            param.map(|before| {
                let is_leaf = before.is_autodiff() && !weight.is_autodiff();
                if is_leaf { weight.autodiff().require_grad() } else { weight }
            })
        }
    }
    assert_eq!(weights.len(), shapes.len(), "weights of the module and those put in their place");
    module.map(&mut Put(weights.into_iter().zip(shapes)))
}

/// Where a visitor stands, and what it has copied.
struct CopyWeights<'a> {
    table: std::slice::Iter<'a, TensorSpec>,
    /// Fields from the module down to the weight.
    path: Vec<String>,
    copies: Vec<NamedTensor>,
}

impl ModuleVisitor for CopyWeights<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val().inner();
        let path = self.path.join(".");
        let TensorSpec { name, shape, .. } =
            self.table.next().unwrap_or_else(|| panic!("the table ends before `{path}`"));
        let field = self.path.last().map_or("", String::as_str);
        assert!(
            is_field(name, field) && weight.dims()[..] == shape[..],
            "the module has `{path}` {:?} where the table has `{name}` {shape:?}",
            weight.dims()
        );
        let data = weight.into_data().try_into_vec::<f32>().expect("weights are f32");
        self.copies.push(NamedTensor { name: name.clone(), shape: shape.clone(), data });
    }
}
