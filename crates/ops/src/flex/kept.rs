//! What an operator saves: a handle, or a bfloat16 copy that backward widens into a pooled buffer

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use burn::tensor::Bytes;
use itera_kernels::{
    bf16,
    gemm::Operands,
    stored::{Stored, StoredMut},
};

use crate::{
    flex::{
        array::Array,
        buffers,
        ledger::{keep, release},
    },
    precision::saved,
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
    /// An activation, in the precision in force. One that several operators save is converted once.
    pub(crate) fn activation(values: &Array) -> Self {
        match saved() {
            Operands::F32 => Self::exact(values),
            Operands::Bf16 => Self(Form::Half(half_of(values))),
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

    /// The values as they are stored.
    pub(crate) fn stored(&self) -> Stored<'_> {
        match &self.0 {
            Form::Weight(values) | Form::Exact(Exact(values)) => Stored::F32(values),
            Form::Half(half) => Stored::Bf16(half.numbers()),
        }
    }

    /// The values as f32.
    pub(crate) fn read(&self) -> Values<'_> {
        match &self.0 {
            Form::Weight(values) | Form::Exact(Exact(values)) => Values::Shared(values),
            Form::Half(half) => Values::Widened(half.widen()),
        }
    }
}

/// Room for an activation that an operator makes for its backward pass alone.
pub(crate) enum Room {
    F32(Vec<f32>),
    Bf16(Half),
}

impl Room {
    /// For `len` values in the precision in force.
    pub(crate) fn new(len: usize) -> Self {
        match saved() {
            Operands::F32 => Self::F32(buffers::take(len)),
            Operands::Bf16 => Self::Bf16(Half::new(len, None)),
        }
    }

    /// To be written in full.
    pub(crate) fn stored(&mut self) -> StoredMut<'_> {
        match self {
            Self::F32(values) => StoredMut::F32(values),
            Self::Bf16(half) => StoredMut::Bf16(half.numbers_mut()),
        }
    }

    /// What was written.
    pub(crate) fn keep(self) -> Kept {
        match self {
            Self::F32(values) => Kept::exact(&Array::from(values)),
            Self::Bf16(half) => Kept(Form::Half(Arc::new(half))),
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
pub(crate) struct Half {
    pairs: Vec<f32>,
    len: usize,
    /// Address of the f32 storage that this is a copy of, if there is one.
    source: Option<usize>,
}

impl Half {
    /// Arbitrary numbers.
    fn new(len: usize, source: Option<usize>) -> Self {
        let half = Self { pairs: buffers::take(len.div_ceil(2)), len, source };
        let (address, bytes) = half.ledger_entry();
        keep(address, bytes);
        half
    }

    fn numbers(&self) -> &[u16] {
        &bytemuck::cast_slice(&self.pairs)[..self.len]
    }

    fn numbers_mut(&mut self) -> &mut [u16] {
        &mut bytemuck::cast_slice_mut(&mut self.pairs)[..self.len]
    }

    fn widen(&self) -> Vec<f32> {
        let mut values = buffers::take(self.len);
        bf16::widen(self.numbers(), &mut values);
        values
    }

    fn ledger_entry(&self) -> (usize, usize) {
        (self.pairs.as_ptr().addr(), self.len * size_of::<u16>())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(source) = self.source {
            let mut copies = copies();
            // a later copy, of other values at the same address, may have replaced this one
            if copies.get(&source).is_some_and(|(_, half)| half.strong_count() == 0) {
                copies.remove(&source);
            }
        }
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
    let mut half = Half::new(values.len(), Some(source));
    bf16::narrow(values, half.numbers_mut());
    let half = Arc::new(half);
    copies().insert(source, (Arc::downgrade(&storage), Arc::downgrade(&half)));
    half
}
