import { page } from './page.ts'

page('the embedded engines')
