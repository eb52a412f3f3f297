//! The numbers of a comparison of two models.

/// Divisors of the logits of two models that are compared.
#[derive(Clone, Copy, Debug)]
pub struct DistillationScalings {
    /// Divides the student's logits.
    pub student: f64,
    /// Divides the teacher's logits.
    pub teacher: f64,
    /// Divides both besides; above 1 it flattens the distributions.
    pub temperature: f64,
}
