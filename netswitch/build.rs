fn main() {
    toolchain::build_rs()
}
