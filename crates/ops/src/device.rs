//! name → device

use burn::tensor::Device;

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

/// The device called `name`, or `None` if this build has none of that name.
pub fn by_name(name: &str) -> Option<Device> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Some(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => {
            #[expect(deprecated, reason = "users ask for it by name until upstream removes it")]
            let device = Device::ndarray();
            Some(device)
        }
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(0)),
        _ => None,
    }
}

/// How many devices called `name` this machine has, or `None` if this build has none of that name.
pub fn count(name: &str) -> Option<usize> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Some(Device::enumerate(burn::tensor::DeviceType::Flex).into_iter().count()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Some(Device::enumerate(burn::tensor::DeviceType::NdArray).into_iter().count()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().count()),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().count()),
        _ => None,
    }
}
