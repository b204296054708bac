//! Files made from runs: a capture for Wireshark and a list of results.

use std::fs::File;
use std::io;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use serde::Serialize;

use crate::record::{Record, What};
use crate::run::{Report, Status};

/// Writes the packets of a run for Wireshark or tcpdump. Times count from the start of the experiment.
pub fn write_pcap(record: &Record, file: File) -> io::Result<()> {
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        snaplen: 1 << 18,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(file, header).map_err(io::Error::other)?;
    for event in &record.events {
        if let What::Packet { packet, .. } = &event.what {
            let packet = PcapPacket::new(packet.sent, packet.frame.len() as u32, &packet.frame);
            writer.write_packet(&packet).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// One experiment in the list of results.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    status: &'a str,
    claims: usize,
    controls: usize,
    seconds: f64,
    kernel: &'a str,
    reason: &'a str,
}

/// Writes the results of many experiments as JSON: a list of objects with id, status (`pass`, `fail`, `skip`), the
/// number of claims and of controls that did as they must, seconds, kernel and reason.
///
/// A discovery is a failure where `strict`: on the project's own machines every kernel should be known.
pub fn write_json(reports: &[Report], strict: bool, mut file: File) -> io::Result<()> {
    let rows: Vec<Row> = reports
        .iter()
        .map(|report| {
            let record = report.run.as_ref().map(|run| &run.record);
            let (status, reason) = match &report.status {
                Status::Pass => ("pass", ""),
                Status::Fail(reason) => ("fail", reason.as_str()),
                Status::Discovery(reason) => {
                    (if strict { "fail" } else { "skip" }, reason.as_str())
                }
                Status::Skip(reason) => ("skip", reason.as_str()),
            };
            Row {
                id: report.experiment.id,
                status,
                claims: record.map_or(0, |record| record.claims.len()),
                controls: usize::from(report.control.is_some() && report.status == Status::Pass),
                seconds: record.map_or(0.0, |record| {
                    (record.took.as_secs_f64() * 1000.0).round() / 1000.0
                }),
                kernel: record.map_or("", |record| record.kernel.as_str()),
                reason,
            }
        })
        .collect();
    serde_json::to_writer_pretty(&file, &rows)?;
    io::Write::write_all(&mut file, b"\n")
}
