//! Reading the frames of a capture file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError};

use crate::observe::pcapng::Note;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("capture `{path}` cannot be read: {source}")]
    Io {
        /// As the user named it.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Neither pcap nor pcapng.
    #[error("`{path}` is no capture: neither pcap nor pcapng begins like this")]
    NotACapture {
        /// As the user named it.
        path: String,
    },
    /// Frames without an Ethernet header.
    #[error("capture `{path}` holds frames of link type {link:?}; only Ethernet can be replayed")]
    NotEthernet {
        /// As the user named it.
        path: String,
        /// What the capture says.
        link: DataLink,
    },
    /// The file ends in the middle.
    #[error("capture `{path}` is cut short after frame {frames}")]
    CutShort {
        /// As the user named it.
        path: String,
        /// Whole frames before the end.
        frames: u64,
    },
    /// The file is damaged.
    #[error("capture `{path}` is damaged after frame {frames}: {source}")]
    Damaged {
        /// As the user named it.
        path: String,
        /// Whole frames before the damage.
        frames: u64,
        /// What is wrong.
        source: PcapError,
    },
}

/// A frame as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Its bytes, as many as were kept.
    pub bytes: Vec<u8>,
    /// What portguard decided about it then.
    pub note: Option<Note>,
}

impl Captured {
    fn of(bytes: Cow<'_, [u8]>) -> Self {
        Self {
            bytes: bytes.into_owned(),
            note: None,
        }
    }
}

/// A capture that is being read.
pub struct Capture {
    path: String,
    reader: Reader,
    frames: u64,
}

enum Reader {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
}

/// First bytes of a pcapng file: its section header block.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

impl Capture {
    /// Opens a capture in either format.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when it is none.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let io_error = |source| CaptureError::Io {
            path: name.clone(),
            source,
        };
        let mut file = File::open(path).map_err(io_error)?;
        let mut magic = Vec::new();
        (&mut file)
            .take(4)
            .read_to_end(&mut magic)
            .map_err(io_error)?;
        file.rewind().map_err(io_error)?;
        let file = BufReader::new(file);
        let reader = if magic == PCAPNG {
            PcapNgReader::new(file).map(Reader::PcapNg)
        } else {
            PcapReader::new(file).map(Reader::Pcap)
        };
        let reader = reader.map_err(|error| match error {
            PcapError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                io_error(source)
            }
            _ => CaptureError::NotACapture { path: name.clone() },
        })?;
        if let Reader::Pcap(pcap) = &reader {
            check_link(&name, pcap.header().datalink)?;
        }
        Ok(Self {
            path: name,
            reader,
            frames: 0,
        })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when the file is cut short or damaged.
    pub fn next_frame(&mut self) -> Result<Option<Captured>, CaptureError> {
        let frame = match &mut self.reader {
            Reader::Pcap(pcap) => pcap
                .next_raw_packet()
                .transpose()
                .map(|packet| packet.map(|packet| Captured::of(packet.data))),
            Reader::PcapNg(pcapng) => next_block_frame(&self.path, pcapng)?,
        };
        match frame {
            Ok(frame) => {
                self.frames += u64::from(frame.is_some());
                Ok(frame)
            }
            Err(PcapError::IncompleteBuffer) => Err(CaptureError::CutShort {
                path: self.path.clone(),
                frames: self.frames,
            }),
            Err(PcapError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(CaptureError::CutShort {
                    path: self.path.clone(),
                    frames: self.frames,
                })
            }
            Err(source) => Err(CaptureError::Damaged {
                path: self.path.clone(),
                frames: self.frames,
                source,
            }),
        }
    }
}

/// The next frame of a pcapng file, past the blocks that hold none.
fn next_block_frame(
    path: &str,
    pcapng: &mut PcapNgReader<BufReader<File>>,
) -> Result<Result<Option<Captured>, PcapError>, CaptureError> {
    while let Some(block) = pcapng.next_block() {
        match block {
            Err(error) => return Ok(Err(error)),
            Ok(Block::InterfaceDescription(interface)) => check_link(path, interface.linktype)?,
            Ok(Block::EnhancedPacket(packet)) => {
                let note = packet.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Comment(comment) => Note::parse(comment),
                    _ => None,
                });
                return Ok(Ok(Some(Captured {
                    note,
                    ..Captured::of(packet.data)
                })));
            }
            Ok(Block::SimplePacket(packet)) => return Ok(Ok(Some(Captured::of(packet.data)))),
            Ok(Block::Packet(packet)) => return Ok(Ok(Some(Captured::of(packet.data)))),
            Ok(_) => {}
        }
    }
    Ok(Ok(None))
}

fn check_link(path: &str, link: DataLink) -> Result<(), CaptureError> {
    if link == DataLink::ETHERNET {
        return Ok(());
    }
    Err(CaptureError::NotEthernet {
        path: path.into(),
        link,
    })
}
