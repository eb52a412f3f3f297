//! an error of a device → what its user can do about it

use itera_ops::device::DeviceError;

/// What to do about `error`.
pub fn hint(error: &DeviceError) -> Option<String> {
    let text = match error {
        DeviceError::None { device: "wgpu", .. } => {
            "install the card's driver for Vulkan (Mesa's lavapipe, mesa-vulkan-drivers in Debian, needs no card), see `itera \
             doctor`, or train on the CPU with --device flex"
        }
        DeviceError::None { .. } => {
            "install the card's driver, see `itera doctor`, or train on the CPU with --device flex"
        }
        DeviceError::Precision { .. } => {
            "set train.precision to one of those, or choose another device: `itera doctor` lists what each of them has"
        }
        DeviceError::OutOfMemory { .. } => {
            "make micro-batches smaller: halve train.batch_size and double train.grad_accum_steps; `itera doctor` says how \
             large a tensor may be"
        }
        DeviceError::Lost { .. } | DeviceError::Failed { .. } => {
            "go on from the last checkpoint with --resume, by --device flex if it happens again"
        }
    };
    Some(text.into())
}
