/**
 * An append-only list of float32 values which doubles its storage when full: 4 to 8 bytes a value.
 * The descriptors keep a few values per frame of a track in it, never its samples.
 */
export class GrowingFloats {
  #values = new Float32Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float32Array(this.#values.length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  /** @returns a view of the values so far, valid until the next push. */
  view(): Float32Array {
    return this.#values.subarray(0, this.#length)
  }
}
