/* signals.h - SIGINT and SIGTERM: the first asks the loop to stop after the step, the second ends
 * the process at once. SIGUSR1 counts as SIGINT: launchers pass it on to ranks, while mpirun ends
 * them by force a second after a SIGINT of its own. SIGBUS in a mapped file is survived (cut.h). A
 * place with state of its own, because a handler has no argument. */
#ifndef BMRT_SIGNALS_H
#define BMRT_SIGNALS_H

void bmrt_signals_catch(void);     /* on the main thread */
void bmrt_signals_elsewhere(void); /* every other thread: takes none of them */
int bmrt_signals_caught(void);     /* the signal's number, or 0 */

/* A file to remove when the second signal comes (NULL: none); the text must stay. */
void bmrt_signals_half_written(const char *path);

#endif
