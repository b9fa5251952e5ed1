//! The examples answer as they say: the right backend by host and path, the right certificate by server name, 404 and 500 where the
//! specification says so; on the newest and the oldest Envoy, in both variants.

use syncgate_e2e::shows;

shows! {
    quickstart_newest_delta: Quickstart on Newest Delta;
    quickstart_newest_sotw: Quickstart on Newest Sotw;
    quickstart_oldest_delta: Quickstart on Oldest Delta;
    quickstart_oldest_sotw: Quickstart on Oldest Sotw;
    https_split_newest_delta: HttpsSplit on Newest Delta;
    https_split_newest_sotw: HttpsSplit on Newest Sotw;
    https_split_oldest_delta: HttpsSplit on Oldest Delta;
    https_split_oldest_sotw: HttpsSplit on Oldest Sotw;
}
