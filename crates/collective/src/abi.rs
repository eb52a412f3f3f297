//! library → functions that take its own kind of handle → calls on slices
//!
//! All `unsafe` of this crate is here. It rests on three things:
//!
//! - A function is called with the signature that the MPI standard gives the symbol of its name, in which the type of a handle
//!   (communicator, datatype, error handler) is the one of the binary interface that the library was recognised by:
//!   [`Table`] is generic over it.
//! - A library is never unloaded, so what its symbols point to stays.
//! - MPI reads or writes as many bytes at a pointer as the count beside it says, and both come from one slice.
//!
//! A status is written to room of our own, larger than that of any interface, and never read.
#![expect(unsafe_code, reason = "the functions of a foreign library, found by name")]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    fmt,
    mem::ManuallyDrop,
    ptr::{null, null_mut},
    sync::atomic::{AtomicBool, Ordering},
};

use libloading::Library;

use crate::{
    communicator::{Communicator, Parts},
    error::{MpiError, Refusal},
};

/// How the functions of an MPI are called in machine code: what a handle is, and the values of constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// That of MPI 5, which any MPI may have.
    Standard,
    /// That of MPICH, which Intel MPI, MVAPICH and Cray MPICH share.
    Mpich,
    /// That of Open MPI.
    OpenMpi,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard ABI",
            Self::Mpich => "MPICH ABI",
            Self::OpenMpi => "Open MPI ABI",
        })
    }
}

/// The longest text that an MPI writes is 8192 bytes with its end, in all three interfaces.
const TEXT: usize = 8192;
/// All messages bear it: they are told apart by their order.
const TAG: c_int = 0;
/// More than the 32 bytes of the largest status, that of the standard interface, and aligned for all.
type Status = [u64; 8];

/// A handle of the interfaces in which it is a pointer. It is handed back as it is, never followed.
type Pointer = *mut c_void;

/// The constants of an interface, by kind of handle.
#[derive(Clone, Copy, Debug)]
struct Constants<H> {
    world: H,
    byte: H,
    errors_return: H,
    /// `MPI_THREAD_SERIALIZED`. Levels above it are larger numbers.
    serialized: c_int,
}

/// Declares [`Table`], and loads it: field, symbol, parameters. All return a code, of which 0 is success.
macro_rules! table {
    ($($field:ident $symbol:literal ($($parameter:ty),*))*) => {
        /// The functions that are used of an MPI whose handles are `H`.
        #[derive(Clone, Copy, Debug)]
        struct Table<H> {
            constants: Constants<H>,
            $($field: unsafe extern "C" fn($($parameter),*) -> c_int,)*
        }

        impl<H: Copy> Table<H> {
            /// # Safety
            /// `library` is an MPI whose handles are `H`, and stays loaded.
            unsafe fn load(library: &Library, constants: Constants<H>) -> Result<Self, Refusal> {
                Ok(Self {
                    constants,
                    // SAFETY: the signature is that of the standard, with handles of `H`, which the caller vouches for.
                    $($field: unsafe { symbol(library, $symbol) }.ok_or(Refusal::Lacks($symbol))?,)*
                })
            }
        }
    };
}

table! {
    init_thread "MPI_Init_thread" (*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int)
    finalize "MPI_Finalize" ()
    abort "MPI_Abort" (H, c_int)
    error_string "MPI_Error_string" (c_int, *mut c_char, *mut c_int)
    processor_name "MPI_Get_processor_name" (*mut c_char, *mut c_int)
    set_errhandler "MPI_Comm_set_errhandler" (H, H)
    dup "MPI_Comm_dup" (H, *mut H)
    rank "MPI_Comm_rank" (H, *mut c_int)
    size "MPI_Comm_size" (H, *mut c_int)
    barrier "MPI_Barrier" (H)
    send "MPI_Send" (*const c_void, c_int, H, c_int, c_int, H)
    recv "MPI_Recv" (*mut c_void, c_int, H, c_int, c_int, H, *mut Status)
    sendrecv "MPI_Sendrecv" (
        *const c_void, c_int, H, c_int, c_int, *mut c_void, c_int, H, c_int, c_int, H, *mut Status
    )
    bcast "MPI_Bcast" (*mut c_void, c_int, H, c_int, H)
    allgather "MPI_Allgather" (*const c_void, c_int, H, *mut c_void, c_int, H, H)
    alltoallv "MPI_Alltoallv" (
        *const c_void, *const c_int, *const c_int, H, *mut c_void, *const c_int, *const c_int, H, H
    )
}

/// The functions of a library that is loaded for good.
#[derive(Clone, Copy, Debug)]
pub struct Functions(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Integers(Table<c_int>),
    Pointers(Table<Pointer>),
}

// SAFETY: the pointers in it are handles, which are the same in all threads.
unsafe impl Send for Functions {}

/// A library by path or name, and what it calls itself.
pub fn open(path: &OsStr) -> Result<(Abi, String, Functions), Refusal> {
    let not_loaded = |error: libloading::Error| {
        let (text, name) = (error.to_string(), path.to_string_lossy());
        let reason = std::error::Error::source(&error).map_or(text, ToString::to_string);
        Refusal::NotLoaded(reason.trim_start_matches(&*name).trim_start_matches(": ").to_owned())
    };
    let found = recognise(&load(path, false).map_err(not_loaded)?)?;
    // what an MPI loads of its own parts may look for the symbols of the MPI, as in a program that is linked to it; only now,
    // since those of one that was refused must not be found
    load(path, true).map_err(not_loaded)?;
    Ok(found)
}

/// A library that stays loaded, since code of it may run after its last use here.
fn load(path: &OsStr, for_all: bool) -> Result<ManuallyDrop<Library>, libloading::Error> {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};
        let scope = if for_all { RTLD_GLOBAL } else { RTLD_LOCAL };
        // SAFETY: what a library runs when it is loaded is its own affair; the names are those of MPIs, or the user's choice.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | scope) }?;
        Ok(ManuallyDrop::new(library.into()))
    }
    #[cfg(not(unix))]
    {
        let _ = for_all;
        // SAFETY: as above.
        Ok(ManuallyDrop::new(unsafe { Library::new(path) }?))
    }
}

/// The MPI that this program has loaded already, for others or by the user's wish.
pub fn of_this_process() -> Result<(Abi, String, Functions), Refusal> {
    #[cfg(unix)]
    return recognise(&ManuallyDrop::new(libloading::os::unix::Library::this().into()));
    #[cfg(not(unix))]
    return Err(Refusal::NotMpi);
}

fn recognise(library: &ManuallyDrop<Library>) -> Result<(Abi, String, Functions), Refusal> {
    type GetVersion = unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int;
    type GetAbi = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
    // SAFETY: both signatures, which have no handles, are those of the standard.
    let (get_version, get_abi) = unsafe {
        let get_version: Option<GetVersion> = symbol(library, "MPI_Get_library_version");
        (get_version.ok_or(Refusal::NotMpi)?, symbol::<GetAbi>(library, "MPI_Abi_get_version"))
    };
    // SAFETY: it may be called before MPI is started, and writes at most `TEXT` bytes, for which there is room.
    let version = text(|to, length| unsafe { get_version(to, length) });
    let mut standard = -1;
    if let Some(get_abi) = get_abi {
        let mut minor = 0;
        // SAFETY: it may be called before MPI is started, and writes one integer at each pointer.
        unsafe { get_abi(&raw mut standard, &raw mut minor) };
    }
    // SAFETY: the types are those of the interface that each branch recognised: by its own word, by a symbol that no other
    // has, by the name of an MPI that is known to have it. The address of a symbol is taken, and not followed.
    let (abi, kind) = unsafe {
        let address = |name| symbol::<Pointer>(library, name);
        let open_mpi = [address("ompi_mpi_comm_world"), address("ompi_mpi_byte"), address("ompi_mpi_errors_return")];
        if standard >= 1 {
            let handle = |number: usize| number as Pointer;
            let (world, byte, errors_return) = (handle(0x101), handle(0x247), handle(0x143));
            let constants = Constants { world, byte, errors_return, serialized: 2048 };
            (Abi::Standard, Kind::Pointers(Table::load(library, constants)?))
        } else if let [Some(world), Some(byte), Some(errors_return)] = open_mpi {
            let constants = Constants { world, byte, errors_return, serialized: 2 };
            (Abi::OpenMpi, Kind::Pointers(Table::load(library, constants)?))
        } else if ["MPICH", "MVAPICH", "Intel(R) MPI"].iter().any(|name| version.contains(name)) {
            let (world, byte, errors_return) = (0x4400_0000, 0x4c00_010d, 0x5400_0001);
            let constants = Constants { world, byte, errors_return, serialized: 2 };
            (Abi::Mpich, Kind::Integers(Table::load(library, constants)?))
        } else {
            return Err(Refusal::UnknownAbi { version: short(&version) });
        }
    };
    Ok((abi, short(&version), Functions(kind)))
}

/// The address of a symbol, as a `T`.
///
/// # Safety
/// `T` is a pointer, to a function of the signature that the symbol has, or to what is not followed.
unsafe fn symbol<T: Copy>(library: &Library, name: &'static str) -> Option<T> {
    // SAFETY: an address fits `T`, by the caller's word, and null is the `None` of a pointer to a function.
    unsafe { library.get::<T>(name) }.ok().map(|symbol| *symbol)
}

/// What MPI writes of at most [`TEXT`] bytes.
fn text(write: impl FnOnce(*mut c_char, *mut c_int) -> c_int) -> String {
    let (mut bytes, mut length) = ([0u8; TEXT + 1], 0);
    write(bytes.as_mut_ptr().cast(), &raw mut length);
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}

/// Name and number, without the options that it was built with: `MPICH Version: 4.0.2`, `Open MPI v4.1.4`.
fn short(version: &str) -> String {
    let line = version.lines().next().unwrap_or_default();
    line.split(", ").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Functions {
    /// Start MPI, which can be done once.
    pub fn start(self, version: &str) -> Result<Box<dyn Communicator>, MpiError> {
        Ok(match self.0 {
            Kind::Integers(table) => Box::new(Started::new(table, version)?),
            Kind::Pointers(table) => Box::new(Started::new(table, version)?),
        })
    }
}

/// MPI, which was asked for calls from any thread, one at a time.
struct Started<H> {
    table: Table<H>,
    /// The processes of the job, apart from messages that others in this program may send.
    ours: H,
    rank: usize,
    size: usize,
}

// SAFETY: a handle is the same in all threads, and MPI was asked for calls from any thread, one at a time.
unsafe impl<H: Copy> Send for Started<H> {}

impl<H: Copy> Started<H> {
    fn new(table: Table<H>, version: &str) -> Result<Self, MpiError> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(MpiError::Started);
        }
        let Constants { world, errors_return, serialized, .. } = table.constants;
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        let mut started = Self { table, ours: world, rank: 0, size: 0 };
        let check = |call, code| started.check(call, code);
        // SAFETY: the arguments of `main` may be null; one integer or handle is written at each pointer; MPI has been started
        // by the first call, and once, before the others are made.
        unsafe {
            let code = (table.init_thread)(null_mut(), null_mut(), serialized, &raw mut provided);
            if code != 0 {
                return Err(MpiError::Call { call: "MPI_Init_thread", code, text: "MPI did not start".into() });
            }
            if provided < serialized {
                return Err(MpiError::Threads { version: version.to_owned(), provided });
            }
            // a communicator inherits it
            check("MPI_Comm_set_errhandler", (table.set_errhandler)(world, errors_return))?;
            let mut ours = world;
            check("MPI_Comm_dup", (table.dup)(world, &raw mut ours))?;
            check("MPI_Comm_rank", (table.rank)(ours, &raw mut rank))?;
            check("MPI_Comm_size", (table.size)(ours, &raw mut size))?;
            started.ours = ours;
        }
        // neither is negative where MPI keeps to its standard
        (started.rank, started.size) = (rank.unsigned_abs() as usize, size.unsigned_abs() as usize);
        Ok(started)
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), MpiError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: MPI is started, and writes at most `TEXT` bytes, for which there is room.
        let text = text(|to, length| unsafe { (self.table.error_string)(code, to, length) });
        Err(MpiError::Call { call, code, text: text.split_whitespace().collect::<Vec<_>>().join(" ") })
    }
}

/// The bytes of a slice, as MPI counts them.
fn count(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).expect("messages are cut into parts that MPI can count")
}

/// Where a slice lies, for calls in which an address of 1 is `MPI_IN_PLACE`, as it is in two of the interfaces: that of an
/// empty slice may be 1, and null stands for it.
fn begin(bytes: &[u8]) -> *const c_void {
    if bytes.is_empty() { null() } else { bytes.as_ptr().cast() }
}

/// [`begin`], to be written at.
fn begin_mut(bytes: &mut [u8]) -> *mut c_void {
    if bytes.is_empty() { null_mut() } else { bytes.as_mut_ptr().cast() }
}

impl<H: Copy> Communicator for Started<H> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn host(&self) -> Result<String, MpiError> {
        let mut code = 0;
        let name = text(|to, length| {
            // SAFETY: MPI writes at most `TEXT` bytes, for which there is room.
            code = unsafe { (self.table.processor_name)(to, length) };
            code
        });
        self.check("MPI_Get_processor_name", code).map(|()| name)
    }

    fn barrier(&self) -> Result<(), MpiError> {
        // SAFETY: `ours` is a communicator of this library; so it is in all calls below.
        self.check("MPI_Barrier", unsafe { (self.table.barrier)(self.ours) })
    }

    fn send(&self, bytes: &[u8], to: c_int) -> Result<(), MpiError> {
        let (at, count, byte) = (bytes.as_ptr().cast(), count(bytes), self.table.constants.byte);
        // SAFETY: `count` bytes can be read at `at`, and the call returns when they have been.
        self.check("MPI_Send", unsafe { (self.table.send)(at, count, byte, to, TAG, self.ours) })
    }

    fn recv(&self, bytes: &mut [u8], from: c_int) -> Result<(), MpiError> {
        let (at, count, byte) = (bytes.as_mut_ptr().cast(), count(bytes), self.table.constants.byte);
        let mut status = Status::default();
        // SAFETY: `count` bytes can be written at `at`, MPI refuses a longer message, and a status fits its room.
        let code = unsafe { (self.table.recv)(at, count, byte, from, TAG, self.ours, &raw mut status) };
        self.check("MPI_Recv", code)
    }

    fn sendrecv(&self, out: &[u8], to: c_int, into: &mut [u8], from: c_int) -> Result<(), MpiError> {
        let (out_at, out_count) = (out.as_ptr().cast(), count(out));
        let (into_at, into_count) = (into.as_mut_ptr().cast(), count(into));
        let (byte, mut status) = (self.table.constants.byte, Status::default());
        // SAFETY: as in `send` and `recv`; the slices do not overlap, one being borrowed mutably.
        let code = unsafe {
            let sendrecv = self.table.sendrecv;
            let status = &raw mut status;
            sendrecv(out_at, out_count, byte, to, TAG, into_at, into_count, byte, from, TAG, self.ours, status)
        };
        self.check("MPI_Sendrecv", code)
    }

    fn bcast(&self, bytes: &mut [u8], root: c_int) -> Result<(), MpiError> {
        let (at, count, byte) = (bytes.as_mut_ptr().cast(), count(bytes), self.table.constants.byte);
        // SAFETY: `count` bytes can be read and written at `at`.
        self.check("MPI_Bcast", unsafe { (self.table.bcast)(at, count, byte, root, self.ours) })
    }

    fn allgather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), MpiError> {
        assert_eq!(all.len(), mine.len() * self.size, "room for the bytes of every rank");
        let (count, byte) = (count(mine), self.table.constants.byte);
        let (from, to) = (begin(mine), begin_mut(all));
        // SAFETY: `count` bytes can be read at `from` and, as asserted, `count` times the number of ranks written at `to`.
        let code = unsafe { (self.table.allgather)(from, count, byte, to, count, byte, self.ours) };
        self.check("MPI_Allgather", code)
    }

    fn alltoall(&self, out: Parts<&[u8]>, into: Parts<&mut [u8]>) -> Result<(), MpiError> {
        let ((out, out_lengths, out_at), (into, into_lengths, into_at)) = (out.into_raw(), into.into_raw());
        assert_eq!([out_lengths.len(), into_lengths.len()], [self.size; 2], "a part for every rank, and one of each");
        let (byte, from, to) = (self.table.constants.byte, begin(out), begin_mut(into));
        let [out_lengths, out_at, into_lengths, into_at] =
            [&out_lengths, &out_at, &into_lengths, &into_at].map(|numbers| numbers.as_ptr());
        // SAFETY: as asserted, MPI finds a length and a beginning for every rank; the parts that they tell of lie within the
        // two slices, by `Parts`, and MPI refuses a longer message.
        let code = unsafe {
            let alltoallv = self.table.alltoallv;
            alltoallv(from, out_lengths, out_at, byte, to, into_lengths, into_at, byte, self.ours)
        };
        self.check("MPI_Alltoallv", code)
    }

    fn finalize(self: Box<Self>) -> Result<(), MpiError> {
        // SAFETY: MPI is started, and no call can follow: `self` is gone.
        match unsafe { (self.table.finalize)() } {
            0 => Ok(()),
            code => Err(MpiError::Call { call: "MPI_Finalize", code, text: "MPI did not end".into() }),
        }
    }

    fn abort(&self, code: c_int) {
        // SAFETY: MPI is started. What it returns, if it does, is of no use.
        unsafe { (self.table.abort)(self.table.constants.world, code) };
    }
}
