//! A minute of random changes under load, on the newest and the oldest Envoy, in both variants.

use syncgate_e2e::shows;

shows! {
    churn_newest_delta: Churn on Newest Delta;
    churn_newest_sotw: Churn on Newest Sotw;
    churn_oldest_delta: Churn on Oldest Delta;
    churn_oldest_sotw: Churn on Oldest Sotw;
}
