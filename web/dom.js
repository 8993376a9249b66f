/** Small helpers over the DOM. Text is always set as text, never parsed as markup. */

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | boolean | EventListener>} [attributes] `onclick` and the like take functions.
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(key.slice(2), value)
    else if (typeof value === 'boolean') node.toggleAttribute(key, value)
    else node.setAttribute(key, value)
  }
  node.append(...children.filter((child) => child !== null && child !== undefined))
  return node
}

/**
 * The element with this id, of the class that is expected.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{ new (): T }} type
 * @returns {T}
 */
export function byId(id, type) {
  const node = document.getElementById(id)
  if (!(node instanceof type)) throw new Error(`The page has no ${type.name} #${id}`)
  return node
}

/** @param {number} seconds @returns {string} as 1:05 */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`
}
