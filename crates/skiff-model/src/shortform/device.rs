//! `--device`, `--blkio-weight-device` and the rate limits of block devices.

use super::{Result, refuse};
use crate::size;

/// A device of the host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where it is on the host.
    pub on_host: String,
    /// Where it appears in the container.
    pub in_container: String,
    /// Any of `r`, `w` and `m`.
    pub permissions: String,
}

/// The weight of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightDevice {
    /// Its path on the host.
    pub path: String,
    /// 10 to 1000, or 0 for none.
    pub weight: u16,
}

/// A rate limit of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleDevice {
    /// Its path on the host.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

fn is_device_mode(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| "rwm".contains(c))
        && "rwm".chars().all(|c| text.matches(c).count() <= 1)
}

/// Whether a `--device` names a device of the Container Device Interface: `vendor/class=name`.
pub fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |s: &str| {
        s.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    let name_fits = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c));
    word(vendor) && word(class) && !name.is_empty() && name_fits
}

/// Reads `path[:path[:permissions]]` (or `path:permissions`).
pub fn parse_device(text: &str) -> Result<Device> {
    let parts: Vec<&str> = text.split(':').collect();
    let (on_host, in_container, permissions) = match parts[..] {
        [path] => (path, path, "rwm"),
        [path, mode] if is_device_mode(mode) => (path, path, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] if is_device_mode(mode) => {
            (host, if container.is_empty() { host } else { container }, mode)
        }
        [_, _, mode] => refuse!("bad mode specified: {mode}"),
        _ => refuse!("bad format for path: {text}"),
    };
    if on_host.is_empty() {
        refuse!("bad format for path: {text}");
    }
    if !in_container.starts_with('/') {
        refuse!("{in_container} is not an absolute path");
    }
    Ok(Device {
        on_host: on_host.to_owned(),
        in_container: in_container.to_owned(),
        permissions: permissions.to_owned(),
    })
}

fn device_and_value(text: &str) -> Result<(&str, &str)> {
    let Some((path, value)) = text.split_once(':') else { refuse!("bad format: {text}") };
    if path.is_empty() {
        refuse!("bad format: {text}");
    }
    if !path.starts_with("/dev/") {
        refuse!("bad format for device path: {text}");
    }
    Ok((path, value))
}

/// Reads `/dev/x:weight`.
pub fn parse_weight_device(text: &str) -> Result<WeightDevice> {
    let (path, value) = device_and_value(text)?;
    match value.parse() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => {
            Ok(WeightDevice { path: path.to_owned(), weight })
        }
        _ => refuse!("invalid weight for device: {text}"),
    }
}

/// Reads `/dev/x:rate` where the rate is a size: `/dev/sda:1mb`.
pub fn parse_throttle_bps(text: &str) -> Result<ThrottleDevice> {
    let (path, value) = device_and_value(text)?;
    match size::parse_bytes(value) {
        Ok(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate: rate.unsigned_abs() }),
        Err(_) => refuse!(
            "invalid rate for device: {text}. The correct format is \
             <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional \
             and can be kb, mb, or gb"
        ),
    }
}

/// Reads `/dev/x:rate` where the rate is a plain number.
pub fn parse_throttle_iops(text: &str) -> Result<ThrottleDevice> {
    let (path, value) = device_and_value(text)?;
    match value.parse() {
        Ok(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate }),
        Err(_) => refuse!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
             Number must be a positive integer"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        for (text, host, container, permissions) in [
            ("/dev/sda", "/dev/sda", "/dev/sda", "rwm"),
            ("/dev/sda:rw", "/dev/sda", "/dev/sda", "rw"),
            ("/dev/sda:/dev/x", "/dev/sda", "/dev/x", "rwm"),
            ("/dev/sda:/dev/x:m", "/dev/sda", "/dev/x", "m"),
        ] {
            let device = parse_device(text).unwrap();
            assert_eq!(
                (&*device.on_host, &*device.in_container, &*device.permissions),
                (host, container, permissions),
                "{text}"
            );
        }
        for (text, message) in [
            ("/dev/a:/dev/b:rwx", "bad mode specified: rwx"),
            ("/dev/a:/dev/b:rr", "bad mode specified: rr"),
            ("/dev/a:b", "b is not an absolute path"),
            ("a:b:c:d", "bad format for path: a:b:c:d"),
            ("", "bad format for path: "),
        ] {
            assert_eq!(parse_device(text).unwrap_err().to_string(), message, "{text}");
        }
        assert!(is_cdi_name("vendor.com/gpu=all"));
        assert!(!is_cdi_name("/dev/sda"));
    }

    #[test]
    fn limits_of_block_devices_are_read() {
        assert_eq!(parse_weight_device("/dev/sda:100").unwrap().weight, 100);
        assert_eq!(
            parse_weight_device("/dev/sda:5").unwrap_err().to_string(),
            "invalid weight for device: /dev/sda:5"
        );
        assert_eq!(parse_throttle_bps("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(parse_throttle_iops("/dev/sda:7").unwrap().rate, 7);
        assert!(parse_throttle_iops("/dev/sda:1mb").is_err());
        assert_eq!(
            parse_throttle_bps("/sda:1mb").unwrap_err().to_string(),
            "bad format for device path: /sda:1mb"
        );
    }
}
