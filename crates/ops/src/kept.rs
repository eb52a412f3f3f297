//! What an operator saves: a handle, or a bfloat16 copy that backward widens into a pooled buffer

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use burn::tensor::Bytes;
use itera_kernels::bf16;

use crate::{
    array::Array,
    buffers,
    ledger::{keep, release},
    precision::{Precision, precisions},
};

/// A value that a forward pass keeps for its backward pass.
#[derive(Debug)]
pub(crate) struct Kept(Form);

#[derive(Debug)]
enum Form {
    Weight(Array),
    Exact(Exact),
    Half(Arc<Half>),
}

impl Kept {
    /// An activation, in the [`Precision`] in force. One that several operators save is converted once.
    pub(crate) fn activation(values: &Array) -> Self {
        match precisions().saved {
            Precision::F32 => Self::exact(values),
            Precision::Bf16 => Self(Form::Half(half_of(values))),
        }
    }

    /// An activation or a statistic that stays f32.
    pub(crate) fn exact(values: &Array) -> Self {
        keep(values.address(), size_of_val::<[f32]>(values));
        Self(Form::Exact(Exact(values.clone())))
    }

    /// A weight: the model holds it anyway, so it stays as it is and does not count as saved.
    pub(crate) fn weight(values: &Array) -> Self {
        Self(Form::Weight(values.clone()))
    }

    /// The values as f32.
    pub(crate) fn read(&self) -> Values<'_> {
        match &self.0 {
            Form::Weight(values) | Form::Exact(Exact(values)) => Values::Shared(values),
            Form::Half(half) => Values::Widened(half.widen()),
        }
    }
}

/// Kept values to be read.
pub(crate) enum Values<'a> {
    Shared(&'a [f32]),
    Widened(Vec<f32>),
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Values::Shared(values) => values,
            Values::Widened(values) => values,
        }
    }
}

impl Drop for Values<'_> {
    fn drop(&mut self) {
        if let Values::Widened(values) = self {
            buffers::give(std::mem::take(values));
        }
    }
}

#[derive(Debug)]
struct Exact(Array);

impl Drop for Exact {
    fn drop(&mut self) {
        release(self.0.address(), size_of_val::<[f32]>(&self.0));
    }
}

/// `len` bfloat16 numbers, two to an element of a pooled buffer.
#[derive(Debug)]
struct Half {
    pairs: Vec<f32>,
    len: usize,
    /// Address of the f32 storage that this is a copy of.
    source: usize,
}

impl Half {
    fn widen(&self) -> Vec<f32> {
        let mut values = buffers::take(self.len);
        bf16::widen(&bytemuck::cast_slice(&self.pairs)[..self.len], &mut values);
        values
    }

    fn ledger_entry(&self) -> (usize, usize) {
        (self.pairs.as_ptr().addr(), self.len * size_of::<u16>())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let mut copies = copies();
        // a later copy, of other values at the same address, may have replaced this one
        if copies.get(&self.source).is_some_and(|(_, half)| half.strong_count() == 0) {
            copies.remove(&self.source);
        }
        drop(copies);
        let (address, bytes) = self.ledger_entry();
        release(address, bytes);
        buffers::give(std::mem::take(&mut self.pairs));
    }
}

/// Address of f32 storage → that storage, its bfloat16 copy. A dead storage has been freed or overwritten.
type Copies = HashMap<usize, (Weak<Bytes>, Weak<Half>)>;

fn copies() -> MutexGuard<'static, Copies> {
    static COPIES: LazyLock<Mutex<Copies>> = LazyLock::new(Mutex::default);
    COPIES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn half_of(values: &Array) -> Arc<Half> {
    let storage = values.tensor().data_arc();
    let source = values.address();
    let known = copies().get(&source).cloned();
    if let Some((of, half)) = known
        && of.ptr_eq(&Arc::downgrade(&storage))
        && let Some(half) = half.upgrade()
    {
        return half;
    }
    let mut pairs = buffers::take(values.len().div_ceil(2));
    bf16::narrow(values, &mut bytemuck::cast_slice_mut(&mut pairs)[..values.len()]);
    let half = Arc::new(Half { pairs, len: values.len(), source });
    let (address, bytes) = half.ledger_entry();
    keep(address, bytes);
    copies().insert(source, (Arc::downgrade(&storage), Arc::downgrade(&half)));
    half
}
