use crate::gemm::Matrix;

/// Twin of [`gemm`](crate::gemm::gemm): three loops in f64, added to `c` [m, n] or replacing it.
pub fn gemm(a: &Matrix<'_>, b: &Matrix<'_>, c: &mut [f64], add: bool) {
    let ((m, k), n) = (a.shape(), b.shape().1);
    for i in 0..m {
        for j in 0..n {
            let product: f64 = (0..k).map(|l| f64::from(a.at(i, l)) * f64::from(b.at(l, j))).sum();
            let c = &mut c[i * n + j];
            *c = if add { *c + product } else { product };
        }
    }
}
