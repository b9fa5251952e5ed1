mod fold;
mod judge;
