/* What gcc's unwinder, libgcc_eh.a, wants from glibc, for programs with musl. Only contrib/static.sh
   compiles this, and only where rustc has no musl target of its own. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>

/* The unwinder uses threads if they are there, which it asks of weak references. These take
   nothing out of a static libc.a: some would be null, others not, and the first panic would call a
   null pointer. So here are strong ones. */
__attribute__((used)) static void *const threads[] = {
    (void *)pthread_once,
    (void *)pthread_key_create,
    (void *)pthread_getspecific,
    (void *)pthread_setspecific,
    (void *)pthread_mutex_lock,
    (void *)pthread_mutex_unlock,
};

/* As <dlfcn.h> of glibc 2.35 and later lays it out. */
struct dl_find_object {
    unsigned long long flags;
    void *begin, *end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) address;
    struct dl_find_object *found;
};

/* Whether the address is in this object; there is only one in a static program. */
static int look(struct dl_phdr_info *object, size_t size, void *data)
{
    struct search *search = data;
    ElfW(Addr) begin = 0, end = 0, table = 0;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        ElfW(Addr) at = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_GNU_EH_FRAME)
            table = at;
        if (part->p_type == PT_LOAD && search->address - at < part->p_memsz) {
            begin = at;
            end = at + part->p_memsz;
        }
    }
    if (end == 0 || table == 0)
        return 0;
    *search->found = (struct dl_find_object){
        .begin = (void *)begin, .end = (void *)end, .eh_frame = (void *)table};
    return 1;
}

/* glibc's way to the unwind table for an address, which musl has not. */
int _dl_find_object(void *address, struct dl_find_object *found)
{
    struct search search = {(ElfW(Addr))address, found};
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
