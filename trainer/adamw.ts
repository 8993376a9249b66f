/**
 * AdamW (Loshchilov & Hutter 2019) over named arrays, with clipping by the norm of all gradients, and an exponential moving
 * average of the weights, which is what is evaluated and served.
 *
 *     m ← β₁m + (1 − β₁)g     v ← β₂v + (1 − β₂)g²     w ← w − η( m̂ / (√v̂ + ε) + λw )
 */
import type { Parameters } from '../model/ops.ts'

export interface AdamWConfig {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** λ; on matrices alone (Parameter.decays). */
  readonly weightDecay: number
  /** Largest norm of all gradients together; none if absent. */
  readonly clipNorm?: number | undefined
  /** Share of the old average that is kept at each step; 0 for none. */
  readonly emaDecay: number
}

/** What a checkpoint holds of the optimiser. */
export interface AdamWState {
  step: number
  readonly first: ReadonlyMap<string, Float32Array>
  readonly second: ReadonlyMap<string, Float32Array>
  readonly average: ReadonlyMap<string, Float32Array>
}

export function beginAdamW(parameters: Parameters): AdamWState {
  const trained = [...parameters].filter(([, { trained }]) => trained)
  const zeros = () => new Map(trained.map(([name, { values }]) => [name, new Float32Array(values.length)]))
  const average = new Map(trained.map(([name, { values }]) => [name, values.slice()]))
  return { step: 0, first: zeros(), second: zeros(), average }
}

/**
 * Changes parameters and state in place.
 * @returns the norm of the gradients before clipping; not finite if they are not, and then nothing is changed.
 */
export function adamWStep(
  parameters: Parameters,
  gradients: ReadonlyMap<string, Float32Array>,
  state: AdamWState,
  learningRate: number,
  config: AdamWConfig,
): number {
  const norm = Math.sqrt([...gradients.values()].reduce((sum, gradient) => sum + squares(gradient), 0))
  if (!Number.isFinite(norm)) return norm
  const { beta1, beta2, epsilon, weightDecay, clipNorm, emaDecay } = config
  const clip = clipNorm === undefined || norm <= clipNorm ? 1 : clipNorm / norm
  state.step++
  const rate = learningRate / (1 - beta1 ** state.step)
  const correction = 1 / Math.sqrt(1 - beta2 ** state.step)
  // Averages of the first steps hold little of where training began.
  const kept = Math.min(emaDecay, state.step / (state.step + 10))
  for (const [name, { values, decays }] of parameters) {
    const gradient = gradients.get(name)
    if (gradient === undefined) continue
    const first = state.first.get(name)!
    const second = state.second.get(name)!
    const average = state.average.get(name)!
    const shrink = 1 - (decays ? learningRate * weightDecay : 0)
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i]! * clip
      const m = beta1 * first[i]! + (1 - beta1) * g
      const v = beta2 * second[i]! + (1 - beta2) * g * g
      const w = values[i]! * shrink - (rate * m) / (Math.sqrt(v) * correction + epsilon)
      first[i] = m
      second[i] = v
      values[i] = w
      average[i] = kept * average[i]! + (1 - kept) * w
    }
  }
  return norm
}

/** Linear warm-up over the first `warmUp` share of the steps, then half a cosine down to 0. @param step from 0 */
export function learningRateAt(step: number, steps: number, peak: number, warmUp: number): number {
  const rising = Math.max(1, Math.round(steps * warmUp))
  if (step < rising) return (peak * (step + 1)) / rising
  return peak * 0.5 * (1 + Math.cos((Math.PI * (step - rising)) / Math.max(1, steps - rising)))
}

function squares(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return sum
}
