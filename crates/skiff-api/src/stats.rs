//! What a container uses: the answer of `/containers/{id}/stats`.

use crate::wire::wire;
use crate::{List, Map};

wire! {
    /// One reading, with the processor's reading before it.
    pub struct ContainerStats as "StatsResponse" {
        id: String = "id", omitempty;
        name: String = "name", omitempty;
        os_type: String = "os_type", omitempty;
        read: String = "read";
        cpu_stats: CpuStats = "cpu_stats";
        memory_stats: MemoryStats = "memory_stats";
        networks: Map<NetworkStats> = "networks", omitempty;
        pids_stats: PidsStats = "pids_stats";
        blkio_stats: BlkioStats = "blkio_stats";
        num_procs: u32 = "num_procs";
        storage_stats: StorageStats = "storage_stats";
        preread: String = "preread";
        precpu_stats: CpuStats = "precpu_stats";
    }

    /// Processor time.
    pub struct CpuStats as "CPUStats" {
        cpu_usage: CpuUsage = "cpu_usage";
        /// All time of all processors since boot, in nanoseconds.
        system_cpu_usage: u64 = "system_cpu_usage", omitempty;
        online_cpus: u32 = "online_cpus", omitempty;
        throttling_data: ThrottlingData = "throttling_data";
    }

    /// Nanoseconds since the container was created.
    pub struct CpuUsage as "CPUUsage" {
        total_usage: u64 = "total_usage";
        percpu_usage: List<u64> = "percpu_usage", omitempty;
        usage_in_kernelmode: u64 = "usage_in_kernelmode";
        usage_in_usermode: u64 = "usage_in_usermode";
    }

    /// How often the quota ran out.
    pub struct ThrottlingData as "ThrottlingData" {
        periods: u64 = "periods";
        throttled_periods: u64 = "throttled_periods";
        throttled_time: u64 = "throttled_time";
    }

    /// Memory in bytes.
    pub struct MemoryStats as "MemoryStats" {
        usage: u64 = "usage", omitempty;
        max_usage: u64 = "max_usage", omitempty;
        /// `memory.stat` by name.
        stats: Map<u64> = "stats", omitempty;
        failcnt: u64 = "failcnt", omitempty;
        limit: u64 = "limit", omitempty;
    }

    /// How many tasks there are.
    pub struct PidsStats as "PidsStats" {
        current: u64 = "current", omitempty;
        limit: u64 = "limit", omitempty;
    }

    /// Block devices.
    pub struct BlkioStats as "BlkioStats" {
        io_service_bytes_recursive: List<BlkioStatEntry> = "io_service_bytes_recursive";
        io_serviced_recursive: List<BlkioStatEntry> = "io_serviced_recursive";
        io_queue_recursive: List<BlkioStatEntry> = "io_queue_recursive";
        io_service_time_recursive: List<BlkioStatEntry> = "io_service_time_recursive";
        io_wait_time_recursive: List<BlkioStatEntry> = "io_wait_time_recursive";
        io_merged_recursive: List<BlkioStatEntry> = "io_merged_recursive";
        io_time_recursive: List<BlkioStatEntry> = "io_time_recursive";
        sectors_recursive: List<BlkioStatEntry> = "sectors_recursive";
    }

    /// One number of one device.
    pub struct BlkioStatEntry as "BlkioStatEntry" {
        major: u64 = "major";
        minor: u64 = "minor";
        op: String = "op";
        value: u64 = "value";
    }

    /// Windows only; always empty here.
    pub struct StorageStats as "StorageStats" {
        read_count_normalized: u64 = "read_count_normalized", omitempty;
        read_size_bytes: u64 = "read_size_bytes", omitempty;
        write_count_normalized: u64 = "write_count_normalized", omitempty;
        write_size_bytes: u64 = "write_size_bytes", omitempty;
    }

    /// One interface.
    pub struct NetworkStats as "NetworkStats" {
        rx_bytes: u64 = "rx_bytes";
        rx_packets: u64 = "rx_packets";
        rx_errors: u64 = "rx_errors";
        rx_dropped: u64 = "rx_dropped";
        tx_bytes: u64 = "tx_bytes";
        tx_packets: u64 = "tx_packets";
        tx_errors: u64 = "tx_errors";
        tx_dropped: u64 = "tx_dropped";
    }
}
