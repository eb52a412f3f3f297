//! name → device

use burn::tensor::{Device, ExecutionError, Tensor};
use itera_shape::Precision;
use thiserror::Error;

/// Names of the devices compiled into this build, the default first.
pub const COMPILED: &[&str] = &[
    #[cfg(feature = "flex")]
    "flex",
    #[cfg(feature = "ndarray")]
    "ndarray",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "cuda")]
    "cuda",
];

/// Why a device of this build cannot be used on this machine, or not any more.
#[derive(Clone, Debug, Error)]
pub enum DeviceError {
    /// There is none.
    #[error("this machine has no device that `{device}` could use: {cause}")]
    None {
        /// The name that was asked for.
        device: &'static str,
        /// What its library says.
        cause: String,
    },
    /// It has no numbers of a precision.
    #[error("the device does not train in {}, but in {}", precision.name(), has.iter().map(|has| has.name()).collect::<Vec<_>>().join(", "))]
    Precision {
        /// What was asked for.
        precision: Precision,
        /// What there is.
        has: Vec<Precision>,
    },
    /// It has no memory for a tensor, or no tensor may be so large there.
    #[error("the device has no room for a tensor of {bytes} bytes")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
    /// It is gone, or computes nothing any more.
    #[error("the device is lost: {cause}")]
    Lost {
        /// What its library says.
        cause: String,
    },
    /// Something that was asked of it failed.
    #[error("the device failed: {cause}")]
    Failed {
        /// What its library says.
        cause: String,
    },
}

impl From<ExecutionError> for DeviceError {
    fn from(error: ExecutionError) -> Self {
        let cause = error.to_string();
        // the library tells by words alone that memory ran out
        let asked = cause.split("can't allocate buffer of size: ").nth(1);
        let bytes = asked.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        match (error, bytes) {
            (_, Some(bytes)) => Self::OutOfMemory { bytes },
            (ExecutionError::DevicePoisoned { .. }, None) => Self::Lost { cause },
            (_, None) => Self::Failed { cause },
        }
    }
}

/// The values of `tensor`, row by row. What failed before, wherever it was asked for, is found here.
///
/// # Errors
/// If the device could not compute them.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    Ok(tensor.try_into_data()?.convert::<f32>().try_into_vec().expect("converted to f32"))
}

/// The device called `name`, or `None` if this build has none of that name.
///
/// # Errors
/// If the machine has no such device.
pub fn by_name(name: &str) -> Result<Option<Device>, DeviceError> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Some(Device::flex())),
        #[cfg(feature = "ndarray")]
        "ndarray" => {
            #[expect(deprecated, reason = "users ask for it by name until upstream removes it")]
            let device = Device::ndarray();
            Ok(Some(device))
        }
        #[cfg(feature = "wgpu")]
        "wgpu" => wgpu().map(Some),
        #[cfg(feature = "cuda")]
        "cuda" => {
            if found("cuda").is_none_or(|found| found.is_empty()) {
                return Err(DeviceError::None { device: "cuda", cause: "the driver of CUDA lists none".into() });
            }
            Ok(Some(Device::cuda(0)))
        }
        _ => Ok(None),
    }
}

/// The adapter that wgpu takes, which it opens once in a process.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, DeviceError> {
    use std::sync::OnceLock;
    static OPENED: OnceLock<Result<Device, DeviceError>> = OnceLock::new();
    let open = || {
        let opened = Device::wgpu_options().init();
        opened.map_err(|cause| DeviceError::None { device: "wgpu", cause: cause.to_string() })
    };
    OPENED.get_or_init(open).clone()
}

/// Whether models can be trained on `device` in `precision`.
///
/// # Errors
/// If they cannot.
pub fn expect_precision(device: &Device, precision: Precision) -> Result<(), DeviceError> {
    let has = precisions(device);
    if has.contains(&precision) { Ok(()) } else { Err(DeviceError::Precision { precision, has }) }
}

#[cfg(any(feature = "flex", feature = "cube"))]
fn precisions(device: &Device) -> Vec<Precision> {
    use burn::backend::DispatchDevice;
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => vec![Precision::F32, Precision::Bf16],
        #[cfg(feature = "cube")]
        DispatchDevice::Cube(_) => {
            use burn::tensor::FloatDType;
            let halves = [(Precision::Bf16, FloatDType::BF16), (Precision::F16, FloatDType::F16)];
            let halves = halves.into_iter().filter(|(_, dtype)| device.supports_dtype(*dtype));
            [Precision::F32].into_iter().chain(halves.map(|(precision, _)| precision)).collect()
        }
        #[allow(unreachable_patterns, reason = "of the devices compiled in, all may be above")]
        _ => vec![Precision::F32],
    }
}

#[cfg(not(any(feature = "flex", feature = "cube")))]
fn precisions(_: &Device) -> Vec<Precision> {
    vec![Precision::F32]
}

/// The device that tests run on: the one that `ITERA_TEST_DEVICE` names, or else the CPU.
///
/// # Panics
/// If this build or this machine has none of that name.
pub fn tested() -> Device {
    let name = std::env::var("ITERA_TEST_DEVICE").unwrap_or_else(|_| COMPILED[0].into());
    let device = by_name(&name).unwrap_or_else(|error| panic!("{error}"));
    device.unwrap_or_else(|| panic!("`{name}` is not in this build: {COMPILED:?}"))
}

/// What is known of a device before it is used.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What it calls itself; absent for the CPU.
    pub name: Option<String>,
    /// The precisions that it trains in.
    pub types: Vec<&'static str>,
    /// Most bytes of one tensor; absent where memory is the limit.
    pub most_tensor_bytes: Option<u64>,
    /// Bytes that the units of a cube share; absent where they are none.
    pub shared_bytes: Option<u64>,
}

/// The devices called `name` of this machine, or `None` if this build has none of that name.
pub fn found(name: &str) -> Option<Vec<Found>> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Some(examine_all(burn::tensor::DeviceType::Flex)),
        #[cfg(feature = "ndarray")]
        "ndarray" => Some(examine_all(burn::tensor::DeviceType::NdArray)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(examine_all(burn::tensor::DeviceType::Wgpu)),
        #[cfg(feature = "cuda")]
        "cuda" => Some(examine_all(burn::tensor::DeviceType::Cuda)),
        _ => None,
    }
}

#[cfg(any(feature = "flex", feature = "ndarray", feature = "cube"))]
fn examine_all(device_type: burn::tensor::DeviceType) -> Vec<Found> {
    Device::enumerate(device_type).into_iter().map(|device| examine(&device)).collect()
}

#[cfg(feature = "cube")]
fn examine(device: &Device) -> Found {
    let burn::backend::DispatchDevice::Cube(cube) = device.as_dispatch() else {
        return Found::default();
    };
    let client = cube.client();
    let properties = client.properties();
    Found {
        name: device.identity().map(|identity| identity.name),
        types: precisions(device).into_iter().map(Precision::name).collect(),
        most_tensor_bytes: Some(properties.memory.max_page_size),
        shared_bytes: Some(properties.hardware.max_shared_memory_size as u64),
    }
}

#[cfg(all(any(feature = "flex", feature = "ndarray"), not(feature = "cube")))]
fn examine(_: &Device) -> Found {
    Found::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_becomes_an_error_that_tells_its_user_what_to_do() {
        let error = |error: ExecutionError| DeviceError::from(error);
        let found = error(ExecutionError::device_poisoned("an illegal memory access"));
        assert!(
            matches!(&found, DeviceError::Lost { cause } if cause.contains("an illegal memory access")),
            "{found:?}"
        );
        let found = error(ExecutionError::with_context("can't allocate buffer of size: 4096, of 1024"));
        assert!(matches!(found, DeviceError::OutOfMemory { bytes: 4096 }), "{found:?}");
        let found = error(ExecutionError::with_context("a shader does not compile"));
        assert!(matches!(found, DeviceError::Failed { .. }), "{found:?}");
    }
}
