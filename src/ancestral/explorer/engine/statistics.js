// The mean of independent estimates and its standard error.

export function meanAndError(values) {
  const count = values.length;
  const nats = values.reduce((a, b) => a + b, 0) / count;
  const variance = values.reduce((a, b) => a + (b - nats) ** 2, 0) / Math.max(count - 1, 1);
  return { nats, error: Math.sqrt(variance / count) };
}
