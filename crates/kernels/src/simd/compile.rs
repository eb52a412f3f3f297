//! The macros that compile a function for an instruction set.

/// What each x86-64 set consists of, in rustc's names: the only place where they stand. AVX-512 F implies AVX2, FMA and
/// F16C.
///
/// `features!(avx2 compile fn f(…) {…})` defines the function for a set, `features!(avx2 detect)` asks the processor.
macro_rules! features {
    (avx2 $what:ident $($rest:tt)*) => {
        $crate::simd::features! { @$what ("avx2" "fma" "f16c") $($rest)* }
    };
    (avx512 $what:ident $($rest:tt)*) => {
        $crate::simd::features! { @$what ("avx512f" "avx512vl" "avx512bw" "avx512dq") $($rest)* }
    };
    (avx512bf16 $what:ident $($rest:tt)*) => {
        $crate::simd::features! { @$what ("avx512f" "avx512vl" "avx512bw" "avx512dq" "avx512bf16") $($rest)* }
    };
    (vnni $what:ident $($rest:tt)*) => {
        $crate::simd::features! { @$what ("avx512f" "avx512vl" "avx512bw" "avx512dq" "avx512vnni") $($rest)* }
    };
    (@compile ($($feature:tt)*) $($item:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        $(#[target_feature(enable = $feature)])*
        $($item)*
    };
    (@detect ($($feature:tt)*)) => {
        true $(&& is_x86_feature_detected!($feature))*
    };
}
pub(crate) use features;

/// Define a function whose body is compiled for every [`Set`](super::Set): `fn name<S>(…)`, where the body may use the
/// type `S`, or `fn name<S>[isa](…)`, where it has a token of that type too.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$isa:ident>($($args:tt)*) $(-> $ret:ty)? $body:block) => {
        $crate::simd::simd! { $(#[$meta])* $vis fn $name<$isa>[_isa]($($args)*) $(-> $ret)? $body }
    };
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$isa:ident>[$token:ident]($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "calls the body that was compiled for the set in use")]
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its slices and its sizes")]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters, reason = "one form for all bodies")]
            fn body<$isa: $crate::simd::Isa>($token: $isa, $($arg: $ty),*) $(-> $ret)? $body

            $crate::simd::features! {
                avx512 compile fn avx512(isa: $crate::simd::Avx512, $($arg: $ty),*) $(-> $ret)? {
                    body(isa, $($arg),*)
                }
            }
            $crate::simd::features! {
                avx2 compile fn avx2(isa: $crate::simd::Avx2, $($arg: $ty),*) $(-> $ret)? { body(isa, $($arg),*) }
            }

            match $crate::simd::Set::in_use() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the token proves that the processor has the features that the function is compiled for.
                $crate::simd::Set::Avx512(isa) => unsafe { avx512(isa, $($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the token proves that the processor has the features that the function is compiled for.
                $crate::simd::Set::Avx2(isa) => unsafe { avx2(isa, $($arg),*) },
                $crate::simd::Set::Base(isa) => body(isa, $($arg),*),
            }
        }
    };
}
pub(crate) use simd;
